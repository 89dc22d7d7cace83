"""Calls to other processes over gRPC; nothing else in Rondel knows that it is gRPC."""
