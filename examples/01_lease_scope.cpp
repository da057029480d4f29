// A lease lives as long as its scope: the pool comes back at the closing brace, and when an exception leaves the scope.
#include <leasepool/leasepool.hpp>

#include <iostream>
#include <stdexcept>
#include <string>

int parse_port(const std::string& text) {
  const int port = std::stoi(text);
  if (port < 1 || port > 65535) throw std::out_of_range("no such port: " + text);
  return port;
}

void print_counts(const char* when, const leasepool::LeasedExecutorManager& manager) {
  std::cout << when << ": " << manager.leased_count() << " leased, " << manager.available_count() << " available\n";
}

leasepool::Task<> use_a_lease(leasepool::LeasedExecutorManager& manager, std::string text) {
  const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "ports"});
  print_counts("  in the scope", manager);
  const int port = co_await lease.run(parse_port, text);  // rethrows here what parse_port throws
  std::cout << "  port " << port << '\n';
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1});
  co_await manager.start();
  print_counts("before", manager);

  co_await use_a_lease(manager, "8080");
  print_counts("after a normal end", manager);

  try {
    co_await use_a_lease(manager, "123456");
  } catch (const std::out_of_range& error) {
    std::cout << "  " << error.what() << '\n';
  }
  print_counts("after an exception", manager);

  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
