"""`kinema watch`: a camera, a stream or a file, watched as it comes."""
