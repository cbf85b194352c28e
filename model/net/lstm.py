"""The LSTM: long short-term memory (Hochreiter & Schmidhuber, *Neural Computation* 9, 1997)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


@dataclass(frozen=True)
class LstmConfig:
    """The size of an LSTM.

    Attributes:
        bottleneck: what each kind of evidence is narrowed to before it enters.
        hidden: what it remembers, in numbers.
        dropout: the fraction of its inputs, and of its outputs, that training leaves out.
    """

    bottleneck: int = 64
    hidden: int = 96
    dropout: float = 0.5


class SteadyDropout(nn.Dropout):
    """Dropout that leaves out the same numbers at every step of a sequence (Gal & Ghahramani, NeurIPS 2016).

    [B, T, D] → [B, T, D]. Drawn anew at each step, what is left out could be read a step later.
    """

    def forward(self, input: Tensor) -> Tensor:
        return input * super().forward(input.new_ones(input.shape[0], 1, input.shape[2])) if self.training else input


class Lstm(nn.Module):
    """A sequence to what is remembered at each of its steps.

    The forget gate starts open (bias 1; Gers, Schmidhuber & Cummins, 2000) and the recurrent weights of each gate start
    orthogonal (Saxe, McClelland & Ganguli, 2014), so that early steps are heard at the end from the first epoch.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(inputs, hidden, batch_first=True)
        of_input, of_state, *biases = self.cell.all_weights[0]
        with torch.no_grad():
            # torch stacks the gates: input, forget, cell, output.
            for gate in of_state.chunk(4):
                nn.init.orthogonal_(gate)
            for gate in of_input.chunk(4):
                nn.init.xavier_uniform_(gate)
            for bias in biases:
                bias.zero_()
            biases[0].chunk(4)[1].fill_(1)

    def forward(self, input: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Reads a batch of sequences.

        Args:
            input: float32 [B, T, inputs].
            lengths: int64 [B], from 1 to T.
            state: h and c, float32 [B, hidden] each.

        Returns:
            h at each step, float32 [B, T, hidden], arbitrary beyond the lengths; h and c after each last step.
        """
        if torch.onnx.is_in_onnx_export():
            weights = (_onnx_order(weight) for weight in self.cell.all_weights[0])
            outputs, h, c = _OnnxLstm.apply(  # type: ignore[no-untyped-call]
                self.cell.hidden_size, input.transpose(0, 1), lengths, *state, *weights
            )
            return outputs.transpose(0, 1), h, c
        packed = pack_padded_sequence(input, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, (h, c) = self.cell(packed, (state[0].unsqueeze(0), state[1].unsqueeze(0)))
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=input.shape[1])
        return padded, h[0], c[0]


def _onnx_order(weight: Tensor) -> Tensor:
    """A weight or bias with its gates in ONNX's order (input, output, forget, cell) instead of torch's."""
    gate_in, gate_forget, cell, gate_out = weight.chunk(4)
    return torch.cat((gate_in, gate_out, gate_forget, cell)).unsqueeze(0)


class _OnnxLstm(torch.autograd.Function):
    """The LSTM as ONNX's operator of that name, which takes lengths directly.

    What the exporter makes of a packed sequence sorts, scatters and branches around the same operator.
    """

    @staticmethod
    def forward(
        _: Any, hidden: int, input: Tensor, lengths: Tensor, h: Tensor, c: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        """Values of the right shapes: the exporter follows shapes, and the graph computes the numbers."""
        return input.new_zeros(*input.shape[:2], hidden), h.clone(), c.clone()

    @staticmethod
    def symbolic(g: Any, hidden: int, input: Any, lengths: Any, h: Any, c: Any, *weights: Any) -> tuple[Any, ...]:
        """Writes the operator: https://onnx.ai/onnx/operators/onnx__LSTM.html."""
        of_input, of_state, input_bias, state_bias = weights
        first, second = (g.op("Constant", value_t=torch.tensor([axis])) for axis in (0, 1))
        outputs, last_h, last_c = g.op(
            "LSTM",
            input,
            of_input,
            of_state,
            g.op("Concat", input_bias, state_bias, axis_i=1),
            g.op("Cast", lengths, to_i=onnx.TensorProto.INT32),
            g.op("Unsqueeze", h, first),
            g.op("Unsqueeze", c, first),
            hidden_size_i=hidden,
            outputs=3,
        )
        # One direction: [T, 1, B, H] and [1, B, H].
        return g.op("Squeeze", outputs, second), g.op("Squeeze", last_h, first), g.op("Squeeze", last_c, first)
