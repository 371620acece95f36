"""Checkpoints: find a base (`locate`, `wheel`), bring it into a folder (`unpack`), weights on disk (`weights`), an
adapter's arithmetic (`lora`), merging it (`merge_base`, `merge`, `merge_writing`, `merge_kernel`, `merge_on_device`,
`change`, `merge_by_peft`, `merge_checks`, `reproduction`, `tied_head`),
what a checkpoint predicts (`reference`, `streaming`), which columns matter (`importance`), whether it can be
converted (`convertible`).
"""
