/* model.S: the model's bytes, as the file has them. The build script names the file. */
    .section .model, "a", %progbits
    .balign 64
    .incbin BK_MODEL_FILE
    .balign 4
