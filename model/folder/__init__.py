"""A folder of clips, as people have them, made ready to train on: found, checked, grouped by source, put into folds.

`gather` finds labelled clips in whatever layout they lie; `sources` tells which of them were cut from one video;
`near` finds those that look too much alike to be told apart honestly; `folds` keeps all of these together; `advice`
says in sentences what would make the data better. None of it needs torch.
"""
