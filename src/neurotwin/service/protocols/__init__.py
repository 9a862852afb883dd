"""Doors for clients of other makes: what they send becomes the runtime's documents, what it answers their form.

open_inference, tensors         Open Inference Protocol V2 (KServe, Triton), JSON and binary tensors
fhir, fhir_in, fhir_plan, ...   FHIR R4B: a record and plans in, RiskAssessment and Observation out
cds_hooks, cards                CDS Hooks 2.0
codes                           which codes stand for which channel: the signature's, and those that an operator names
"""
