"""How tensors are computed: device, precision, deterministic kernels, memory, CUDA graphs, torch.compile."""
