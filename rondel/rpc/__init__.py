"""Calls to other processes over gRPC; nothing else in Rondel knows that it is gRPC.

`channel` is any connection. The calls of an ingester (proto/ingester.proto) have two sides::

    PushStream (push)            ->  Server  ->  Intake (intake)   ->  PushHandler
    Remote (remote)              ->  Server  ->  Reading (reading) ->  Source: storage, exemplars, metadata
      RemoteSelection (selection)
"""
