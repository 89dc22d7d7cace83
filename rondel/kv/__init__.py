"""Facts that processes share: one key each, watched by those who need them, held by leases.

`store` says what a key-value store does; `etcd` and `memory` are two. `view` keeps a prefix in memory,
`session` keeps our own keys there while we live.
"""
