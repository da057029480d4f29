# What a worker of the peer on Cap'n Proto serves.
@0xb3a5f0f5d6c1e9a7;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("peers::schema");

interface Worker {
  nothing @0 (argument :UInt64) -> (result :UInt64);
}
