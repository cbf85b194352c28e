"""From pictures to scores: bundles, onnxruntime, batching."""
