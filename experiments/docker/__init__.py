"""This machine's Docker engine: image, warm pool, SDK jobs, endpoints."""
