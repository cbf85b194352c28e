"""What each head is, in words and equations, for readers who know convolutional networks and no LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from model.net.classifier import HeadName


class Told(NamedTuple):
    """What is told of a head.

    Attributes:
        title: its name in words.
        summary: what it does, in a few sentences.
        equations: what it computes, in plain text; ∘ multiplies number by number, * is a convolution.
    """

    title: str
    summary: str
    equations: str


_LSTM = """\
i_t = σ(W_i x_t + U_i h_{t-1} + b_i)          how much to write
f_t = σ(W_f x_t + U_f h_{t-1} + b_f)          how much to keep
o_t = σ(W_o x_t + U_o h_{t-1} + b_o)          how much to say
g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)       what could be written
C_t = f_t ∘ C_{t-1} + i_t ∘ g_t               the memory
h_t = o_t ∘ tanh(C_t)                         what is said of it"""

HEADS: Mapping[HeadName, Told] = {
    "lstm": Told(
        "LSTM",
        "One LSTM (long short-term memory) reads the features of all kinds of evidence together, x_t at step t. Its "
        "memory goes from step to step by being multiplied and added to, as features go along the skip connections "
        "of a ResNet, so neither what it holds nor the gradient on its way back has to pass through a matrix at each "
        "step.",
        _LSTM,
    ),
    "peephole": Told(
        "LSTM with peepholes",
        "An LSTM whose gates also see the memory: each unit's gates look at that unit's own number, weighted by a "
        "vector p. The input and forget gates look at it as it was, the output gate as it has become.",
        """\
i_t = σ(W_i x_t + U_i h_{t-1} + p_i ∘ C_{t-1} + b_i)
f_t = σ(W_f x_t + U_f h_{t-1} + p_f ∘ C_{t-1} + b_f)
g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
C_t = f_t ∘ C_{t-1} + i_t ∘ g_t
o_t = σ(W_o x_t + U_o h_{t-1} + p_o ∘ C_t + b_o)
h_t = o_t ∘ tanh(C_t)""",
    ),
    "article": Told(
        "The article's LSTM",
        "An LSTM in which every gate, and the candidate too, sees all of the memory through a full matrix V: what one "
        "unit holds can open or shut the gates of any other.",
        """\
i_t = σ(W_i x_t + U_i h_{t-1} + V_i C_{t-1} + b_i)
f_t = σ(W_f x_t + U_f h_{t-1} + V_f C_{t-1} + b_f)
o_t = σ(W_o x_t + U_o h_{t-1} + V_o C_{t-1} + b_o)
g_t = tanh(W_g x_t + U_g h_{t-1} + V_g C_{t-1} + b_g)
C_t = f_t ∘ C_{t-1} + i_t ∘ g_t
h_t = o_t ∘ tanh(C_t)""",
    ),
    "layernorm": Told(
        "LSTM with layer normalisation",
        "An LSTM in which what goes into the gates, and the memory before it is said, is normalised over the units "
        "(LN: mean 0, variance 1, then a learned scale), as batch normalisation does over a batch. However large C "
        "grows, the output gate has something to choose from, and gradients keep their size.",
        """\
a_t = LN(W x_t) + LN(U h_{t-1}) + b           four parts: of i, f, g and o
i_t, f_t, o_t = σ(a_t)      g_t = tanh(a_t)
C_t = f_t ∘ C_{t-1} + i_t ∘ g_t
h_t = o_t ∘ tanh(LN(C_t))""",
    ),
    "attention": Told(
        "LSTM with attention over its states",
        "An LSTM reads, and at the end it is not its last state alone that answers: each state is scored by what it is "
        "and by when it was, the scores become shares that sum to one, and the answer rests on the states mixed by "
        "these shares. This happens several times, once a hop, each with weights of its own.",
        _LSTM
        + """
e_t = w · tanh(V (h_t + position_t))          a score, once for each hop
α_t = exp(e_t) / Σ_s exp(e_s)                 the share of step t
what is understood = Σ_t α_t h_t              of all hops, side by side""",
    ),
    "spatial": Told(
        "LSTM that chooses where to look",
        "The encoder's last map is not averaged over the picture. At each step every position of it is scored by what "
        "is there, where it is, and what the LSTM said last; the scores become shares that sum to one, and the LSTM "
        "reads the positions mixed by these shares.",
        """\
e_p = w · tanh(V a_{t,p} + Q h_{t-1})         a score for each position p of the map a_t
α_p = exp(e_p) / Σ_q exp(e_q)                 its share
x_t = Σ_p α_p a_{t,p}                         what the step reads, beside other evidence
"""
        + _LSTM,
    ),
    "convlstm": Told(
        "Convolutional LSTM",
        "Its memory is a map: the encoder's last map goes in as it is, matrices become small convolutions (*), and at "
        "each position something of its own is remembered. The gates have peepholes p into the memory. What it says is "
        "the mean of H over the positions.",
        """\
I_t = σ(W_i * X_t + U_i * H_{t-1} + p_i ∘ C_{t-1} + b_i)
F_t = σ(W_f * X_t + U_f * H_{t-1} + p_f ∘ C_{t-1} + b_f)
G_t = tanh(W_g * X_t + U_g * H_{t-1} + b_g)
C_t = F_t ∘ C_{t-1} + I_t ∘ G_t
O_t = σ(W_o * X_t + U_o * H_{t-1} + p_o ∘ C_t + b_o)
H_t = O_t ∘ tanh(C_t)""",
    ),
    "bidirectional": Told(
        "LSTM in both directions",
        "Two LSTMs, one of which reads the window from its end to its beginning. At each step what both say is put "
        "side by side, so every step knows what came before and what comes after. It needs the whole window at once.",
        "forwards, and with weights of its own backwards:\n" + _LSTM,
    ),
    "mean": Told(
        "Mean, without recurrence",
        "No recurrence: each kind of evidence is looked at step by step by one linear layer, its votes are averaged "
        "over the steps, and in which order they came makes no difference. It is what the other heads are compared "
        "with.",
        """\
vote_t = W x_t + b                            of each kind of evidence
answer after t steps = the mean of the votes so far, summed over the kinds""",
    ),
}
