"""MLServer: a custom runtime in a pool of as many worker processes as cores, each with graphs of one thread.

Its adaptive batching would put whole clips together in one worker, which brings nothing on a CPU.
"""

from __future__ import annotations

import json

import cv2
from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.peers import work


class Actions(MLModel):
    """The runtime."""

    async def load(self) -> bool:
        cv2.setNumThreads(1)
        self.work = work.from_environment(threads=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (clip,) = Base64Codec.decode_input(payload.inputs[0])
        answer = json.dumps(self.work.answer(clip))
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("answer", [answer])])
