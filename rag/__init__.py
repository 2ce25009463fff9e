"""The RAG toolkit: documents in, cited answers out."""
