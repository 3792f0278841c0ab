"""The problem: which parameters there are, and which values they may have."""

space = {
    "drop": (0, 0.9),
    "batch_size": [16, 32, 64, 128, 256, 512],
}
