// Account: every call of a chaos run, what its caller was told, and whether that was right.
#pragma once

#include <leasepool/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "functions.hpp"
#include "ledger.hpp"

namespace lpbench::chaos {

// What a call runs on; `io` is the loop's own.
enum class Place : std::uint8_t { threads, processes, sockets, clean, nodes, io };
inline constexpr std::size_t kPlaces = 6;
std::string_view name_of(Place place);

struct Call {
  Place place = Place::threads;
  Work work = Work::answer;
  std::uint64_t number = 0;
  bool bounded = false;  // by a time-out
};

// The loop's thread.
class Account {
 public:
  explicit Account(Ledger& ledger) : ledger_(ledger), last_of_slot_(Ledger::kSlots) {}

  // A call that is to be answered once, by one of the three that follow.
  Call begin(Place place, Work work, bool bounded);
  void succeeded(const Call& call, bool right);
  void failed(const Call& call, const leasepool::Error& error);
  void dropped(const Call& call);  // its caller was destroyed and will not hear
  // What an await threw; in a catch block.
  void failed_by_exception(const Call& call);

  // What is no call: an acquire, a start or a step of I/O that failed. `patient`: it had no time-out and was to wait.
  void acquire_failed(Place place, const std::exception& error, bool patient);
  void start_failed(Place place, const std::exception& error);
  void io_succeeded(bool right);
  void io_failed(const std::exception& error);

  void wrong(std::string what);

  // When nothing is under way any more: holds what is left in the ledger against what was told.
  void close();

  [[nodiscard]] std::uint64_t begun() const { return begun_; }
  [[nodiscard]] std::uint64_t open() const { return open_; }
  [[nodiscard]] std::uint64_t wrong_count() const { return wrong_count_; }
  [[nodiscard]] const std::vector<std::string>& wrongs() const { return wrongs_; }  // the first of them
  using Counts = std::map<std::string, std::array<std::uint64_t, kPlaces>>;
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  enum class Told : std::uint8_t { nothing, dropped, right, failed, had_not_run };
  struct Last {
    std::uint64_t number = 0;
    Told told = Told::nothing;
  };

  void tell(const Call& call, Told told, const std::string& outcome);
  void failed_with(const Call& call, std::error_code code, bool may_have_run, std::string_view message);
  void judge(const Last& last);
  void count(Place place, const std::string& what) { ++counts_[what][static_cast<std::size_t>(place)]; }

  Ledger& ledger_;
  std::vector<Last> last_of_slot_;
  std::uint64_t last_number_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t open_ = 0;
  Counts counts_;
  std::uint64_t wrong_count_ = 0;
  std::vector<std::string> wrongs_;
};

}  // namespace lpbench::chaos
