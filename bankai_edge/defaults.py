"""How a model is run where nobody says otherwise; what is planned for it is planned for this."""

CONTEXT = 2048
BATCH = 64  # tokens per step of prefill: enough to reuse each expanded tile, small buffers
MAX_THREADS = 4
SMALL_MODEL_BYTES = 16 << 20  # below this, handing work to other cores costs more than it saves
