"""FastAPI and onnxruntime, as most people would begin: one process, one session with default options, a plain `def`.

FastAPI runs the endpoint in its pool of threads; onnxruntime and OpenCV take every core for each clip.
"""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile

from bench.peers import work

app = FastAPI()
model = work.from_environment()


@app.post("/predict")
def predict(clip: UploadFile) -> dict[str, Any]:
    """Answers one clip."""
    return model.answer(clip.file.read())


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=work.port(), access_log=False)
