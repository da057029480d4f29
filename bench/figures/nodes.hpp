// Figures of pools on nodes: nodes as processes of their own behind a real server, and a thousand simulated ones.
#pragma once

#include <leasepool/leasepool.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "figures/report.hpp"

namespace figures {

using Clock = std::chrono::steady_clock;

// What a node says to who measures what a message to it and back takes.
inline constexpr const char* kEchoSubject = "figures.echo";

// A node of one pool, a child of this process.
class NodeProcess {
 public:
  NodeProcess(const std::string& server, std::size_t workers, std::uint64_t number);
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;
  ~NodeProcess() { kill(); }

  // As its machine dies. Returns when that was.
  Clock::time_point kill() noexcept;

 private:
  pid_t pid_;
};

// What main() does instead where it was started as such a node; false where it was not.
[[nodiscard]] bool run_node(int argc, char** argv);

// A manager of pools on nodes of this server.
[[nodiscard]] leasepool::ManagerOptions remote_manager(const std::string& server, std::size_t pools,
                                                       std::size_t workers);
[[nodiscard]] leasepool::Task<leasepool::ExecutorLease> acquire_lease(leasepool::LeasedExecutorManager& manager,
                                                                      leasepool::Duration duration);

// Run on nodes.
std::uint64_t node_number();
std::int64_t process_id();
std::uint64_t same(std::uint64_t value);
std::size_t length(const std::string& text);
void hang();

inline double nanoseconds(leasepool::Duration duration) { return static_cast<double>(duration.count()); }

void add_acquires(Report& report, const Options& options);
void add_large_arguments(Report& report, const Options& options);
void add_expiries(Report& report, const Options& options);
void add_lost_nodes(Report& report, const Options& options);
void add_restarted_nodes(Report& report, const Options& options);
void add_server_restarts(Report& report, const Options& options);
void add_many_nodes(Report& report, const Options& options);

}  // namespace figures
