// The nats-server of peers that speak through one: started on loopback, and gone when the program is.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "nats/nats_server.hpp"

namespace peers {

inline constexpr int kNotHere = 3;  // exit code where a peer cannot run on this machine

// To be made before worker processes, which connect to it.
class NatsServer {
 public:
  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

 private:
  // Ends the program where there is none.
  static std::string configuration() {
    if (!leasepool::test::NatsServer::program().empty()) return {};
    std::fputs("there is no nats-server\n", stderr);
    std::_Exit(kNotHere);
  }

  leasepool::test::NatsServer server_{configuration()};
};

}  // namespace peers
