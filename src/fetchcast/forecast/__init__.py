"""PREDICT: forecasts with the evidence for them. Pure: arrays in, arrays out."""
