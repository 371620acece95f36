"""The line through the stages (`line`), building along it (`build`), what a build would do (`plan`), what can be
known before it (`preflight`), and what comes after it for clinics (`bundling`).
"""
