"""Checkpoints: find a base (`locate`), weights on disk (`weights`), an adapter's arithmetic (`lora`), merging it
(`merge`, `merge_by_peft`), what a checkpoint predicts (`reference`), which columns matter (`importance`).
"""
