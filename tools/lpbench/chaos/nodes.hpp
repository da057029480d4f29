// Nodes: a NATS server and nodes on this machine, each of which can be killed and comes again.
#pragma once

#include <sys/types.h>
#include <leasepool/remote_options.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lpbench::chaos {

class Nodes {
 public:
  static constexpr std::size_t kNodes = 2;

  // Where a server is installed; empty: nowhere.
  static std::string find_server();

  // Ready, with their files in a directory. Throws std::runtime_error, std::system_error.
  Nodes(std::string server, std::string directory);
  Nodes(const Nodes&) = delete;
  Nodes& operator=(const Nodes&) = delete;
  ~Nodes();

  [[nodiscard]] leasepool::RemoteOptions remote_options() const;

  // The parts: the server, which is 0, and the nodes.
  static constexpr std::size_t kParts = kNodes + 1;
  [[nodiscard]] pid_t pid(std::size_t part) const { return parts_[part].pid; }  // 0: it was killed
  [[nodiscard]] bool is_up(std::size_t part) const;  // of a node: it lends, so its fork server has a reserve
  void kill(std::size_t part);
  void start(std::size_t part);  // if it is not there

  // Often: starts those again that gave up before they were ready, as they may where the server is away. What else has
  // ended by itself is returned, and started again, too.
  [[nodiscard]] std::optional<std::string> tend();

 private:
  struct Part {
    pid_t pid = 0;
    std::string output{};
  };
  [[nodiscard]] std::vector<std::string> command(std::size_t part) const;
  void write_configuration() const;
  void wait_for_server();

  std::string server_;
  std::string directory_;
  std::uint16_t port_ = 0;
  std::vector<Part> parts_;
};

}  // namespace lpbench::chaos
