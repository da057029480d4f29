// NatsServer: a real nats-server on loopback, for as long as a test needs it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "support/temporary_directory.hpp"

namespace leasepool::test {

class NatsServer {
 public:
  // Where it is installed; empty: nowhere.
  [[nodiscard]] static const std::string& program();

  // Started with this configuration on a free port, and ready.
  explicit NatsServer(const std::string& configuration = {});
  NatsServer(const NatsServer&) = delete;
  NatsServer& operator=(const NatsServer&) = delete;
  ~NatsServer();

  // Dies at once; and is there again, on the same port and ready.
  void kill();
  void start();
  // SIGSTOP, SIGCONT.
  void signal(int number) const;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  // What it logged, for a test that failed.
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ / name; }
  void write_file(const std::string& name, const std::string& text) const;

 private:
  TemporaryDirectory directory_;
  std::string configuration_;
  std::uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace leasepool::test
