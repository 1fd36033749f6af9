// start.cpp: what the Arduino framework calls: start the firmware's task, and nothing else.
#include <Arduino.h>

extern "C" void bk_port_start_task(void);

void setup() { bk_port_start_task(); }

void loop() { delay(1000); }
