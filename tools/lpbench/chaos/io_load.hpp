// IoLoad: the loop's own I/O under load: connections to an echo server on the same loop, and files.
#pragma once

#include <leasepool/leasepool.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "account.hpp"

namespace lpbench::chaos {

class IoLoad {
 public:
  // Throws leasepool::IoError.
  IoLoad(leasepool::Loop& loop, Account& account, std::uint64_t seed);

  // Until end() was called, and all that is open is closed.
  leasepool::Task<> live();
  void end() { over_ = true; }

  // Destroys the tasks of all connections' ends that ask, wherever they stand.
  std::size_t drop_tasks();

 private:
  [[nodiscard]] std::uint64_t random(std::uint64_t from, std::uint64_t to) {
    return std::uniform_int_distribution(from, to)(random_);
  }
  [[nodiscard]] std::vector<std::byte> random_bytes();

  leasepool::Task<> accept();
  leasepool::Task<> echo(leasepool::Stream stream);
  leasepool::Task<> ask();
  leasepool::Task<> talk();
  leasepool::Task<> use_file();

  leasepool::Loop& loop_;
  Account& account_;
  std::mt19937_64 random_;
  leasepool::TcpListener listener_;
  bool over_ = false;
  leasepool::TaskGroup servers_;
  leasepool::TaskGroup clients_;
};

}  // namespace lpbench::chaos
