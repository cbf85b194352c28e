"""ONNX graphs: networks written and read back, encoders as they were published, their int8 twins."""
