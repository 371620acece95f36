"""Training: rows become batches (`batches`, `flat`), batches become losses (`compute`, `loss`, `attention`), losses
become steps (`step`, `loop`), steps an adapter (`trainer`), with what one device holds (`memory`) and several share
(`parallel`, `launch`).
"""
