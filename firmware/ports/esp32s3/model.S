/* model.S: the model's bytes, read from flash through the cache. The build script names the file. */
    .section .rodata.bk_model, "a"
    .balign 64
    .global bk_model_file
bk_model_file:
    .incbin BK_MODEL_FILE
    .global bk_model_file_end
bk_model_file_end:
    .balign 4
