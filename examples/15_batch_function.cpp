// Work that is cheaper together: a function that is called once for a whole batch, while each submitter awaits its own
// result. With isolate_failures a bad item is found and fails alone.
#include <leasepool/leasepool.hpp>

#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

// Stands for one round trip to a database that answers many questions at once.
std::vector<std::string> look_up(const std::vector<int>& ids) {
  std::vector<std::string> names;
  names.reserve(ids.size());
  for (const int id : ids) {
    if (id < 0) throw std::out_of_range("no such id: " + std::to_string(id));
    names.push_back("user" + std::to_string(id));
  }
  return names;  // one for each, in their order
}

leasepool::Task<std::string> name_of(leasepool::BatchVerbs<int, std::string> lookups, int id) {
  std::string name;
  try {
    name = co_await lookups.submit(id);
  } catch (const std::out_of_range& error) {
    name = error.what();
  }
  co_return name;
}

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(loop, {.max_pools = 1});
  leasepool::WorkGrinder grinder(manager, {.batch_size_threshold = 4, .max_wait = std::chrono::seconds(1)});
  co_await manager.start();
  co_await grinder.start();

  const auto lookups = grinder.batch(look_up, {.isolate_failures = true});
  const auto [a, b, c, d] =
      co_await leasepool::when_all(name_of(lookups, 7), name_of(lookups, 8), name_of(lookups, -1), name_of(lookups, 9));
  std::cout << a << '\n' << b << '\n' << c << '\n' << d << '\n';

  const leasepool::GrinderStats stats = grinder.stats();
  std::cout << stats.batches_flushed << " batch, halved " << stats.batches_split << " times\n";
  co_await grinder.stop();
  co_await manager.stop();
}

int main() {
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
