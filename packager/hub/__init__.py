"""The Hub: reading from it (`reading`), requests that are bounded in time (`connection`), errors for people
(`explanations`), and whose account it is (`login`). No token reaches a message.
"""
