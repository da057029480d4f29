// Where a worker process of gRPC's listens: at a Unix socket, or at a TCP port of loopback (LEASEPOOL_PEER_TCP).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "report.hpp"

namespace peers {

#if LEASEPOOL_PEER_TCP

// Keeps a free port for the worker, which shares it: gRPC binds as this does.
class GrpcAddress {
 public:
  explicit GrpcAddress(std::size_t /*number*/) {
    const int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (fd_ < 0 || setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 || bind(fd_, any, size) != 0 ||
        getsockname(fd_, any, &size) != 0) {
      fail("no port for gRPC");
    }
    text_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  GrpcAddress(const GrpcAddress&) = delete;
  GrpcAddress& operator=(const GrpcAddress&) = delete;
  ~GrpcAddress() { close(fd_); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string text_;
};

#else

class GrpcAddress {
 public:
  explicit GrpcAddress(std::size_t number)
      : text_("unix-abstract:leasepool-peer-" + std::to_string(getpid()) + "-" + std::to_string(number)) {}
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

#endif

}  // namespace peers
