"""What makes a cluster of processes: who is a member, who knows of whom, who speaks for a pair of replicas.

`ringview` follows the ring, `membership` moves an ingester through it, `marker` remembers that one is to go,
`peers` finds processes of other roles, `election` and `ha` choose one replica of a pair. Nothing here opens a
socket: all of it goes through `rondel.kv`.
"""
