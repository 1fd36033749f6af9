"""The device service: a model and its patch store, answering on serial, UDP and sockets."""
