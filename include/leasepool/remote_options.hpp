// How a manager or a node reaches the other one: through which server, as whom, and when it takes the other for lost.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <string>

#include "leasepool/duration.hpp"

namespace leasepool {

/// What a manager and a node must have in common. signatures: the functions that are called, with the same parameters
/// and results. build: the program itself, byte for byte as its build id says; pools of others are not taken.
enum class RemoteMatch { signatures, build };

/// What makes no sense is std::invalid_argument, naming the field, its value and what it may be. What only shows when
/// the server is asked, a file that cannot be read or a user that is refused, is pool_broken from start(), with the
/// server's address and the reason.
struct RemoteOptions {
  /// NATS servers of one cluster, with commas between them: nats://host:port, tls://host:port or host, port 4222 where
  /// none is said. Required. They are tried in turn, beginning with any of them.
  std::string servers{};
  /// Managers and nodes of other clusters are not seen. Give each a NATS account of its own, as its users can call
  /// functions. 1 to 64 visible ASCII characters without a dot, an asterisk or a greater-than sign; so is pool.
  std::string cluster = "default";
  /// What kind of pools a node gives and a manager wants: nodes of one name are alike to whoever calls.
  std::string pool = "default";
  /// Who this is to the server; needs credentials_file, which has the password. At most 256 bytes.
  std::string user{};
  /// A file with the user's password, a token where user is empty, the seed of an nkey or a JWT with one (.creds). It
  /// is read for each connection.
  std::string credentials_file{};
  /// Certificates in PEM that the server's is checked against; empty: the system's. Given, TLS is required.
  std::string ca_file{};
  /// The certificate in PEM that this client shows, and its key without a passphrase: both or none. Given, TLS is
  /// required.
  std::string cert_file{};
  std::string key_file{};
  /// How often both ends say how far they have come, also while calls flow: 1 ms to less than node_timeout.
  TimeSpan heartbeat = std::chrono::milliseconds(250);
  /// How long the server may say that nobody listens where the node did, as while the node connects again, until it is
  /// lost. Positive, and at most node_timeout.
  TimeSpan reconnect_grace = std::chrono::seconds(2);
  /// How long a node may be silent until its leases are lost; and so long may the server be away. Positive; the node
  /// waits twice as long for its manager, then it kills what runs.
  TimeSpan node_timeout = std::chrono::seconds(5);
  /// Bytes of one lease's calls that may be on their way, and wait on the node, at once: 64 KiB to 32 MiB. The smaller
  /// one of manager and node counts. One call may have more by itself.
  std::size_t window = std::size_t{4} << 20;
  RemoteMatch match = RemoteMatch::signatures;
  bool operator==(const RemoteOptions&) const = default;
};

}  // namespace leasepool

#endif
