// Big memory and open files as arguments: four worker processes work on one picture without anybody copying it, and one
// writes to a file that only the caller has opened.
#include <fcntl.h>
#include <unistd.h>

#include <leasepool/leasepool.hpp>

#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

constexpr std::size_t kPixels = std::size_t{16} << 20;

// Makes a part of the picture brighter, where it lies.
void brighten(const leasepool::SharedBuffer& picture, std::size_t first, std::size_t count) {
  for (std::uint8_t& pixel : picture.as<std::uint8_t>().subspan(first, count)) pixel += 100;
}
LEASEPOOL_REGISTER(brighten);

// A worker's memory comes back in the same way.
leasepool::SharedBuffer make_histogram(const leasepool::SharedBuffer& picture) {
  leasepool::SharedBuffer histogram(256 * sizeof(std::uint64_t));
  for (const std::uint8_t pixel : picture.as<std::uint8_t>()) ++histogram.as<std::uint64_t>()[pixel];
  return histogram;
}
LEASEPOOL_REGISTER(make_histogram);

// The worker gets a descriptor of its own for the same open file, and needs no right to open it.
std::int64_t write_text(leasepool::Fd file, const std::string& text) {
  return ::write(file.get(), text.data(), text.size());
}
LEASEPOOL_REGISTER(write_text);

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::LeasedExecutorManager manager(
      loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 4});
  co_await manager.start();
  {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "pictures"});

    const leasepool::SharedBuffer picture(kPixels);  // zeros
    constexpr std::size_t kQuarter = kPixels / 4;
    co_await leasepool::when_all(
        lease.run(brighten, picture, 0 * kQuarter, kQuarter), lease.run(brighten, picture, 1 * kQuarter, kQuarter),
        lease.run(brighten, picture, 2 * kQuarter, kQuarter), lease.run(brighten, picture, 3 * kQuarter, kQuarter));
    const auto pixels = picture.as<std::uint8_t>();
    std::cout << "first pixel " << +pixels.front() << ", last pixel " << +pixels.back() << '\n';

    const leasepool::SharedBuffer histogram = co_await lease.run(make_histogram, picture);
    std::cout << histogram.as<std::uint64_t>()[100] << " pixels of brightness 100\n";

    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) co_return;
    const leasepool::Fd read_end(ends[0]);
    leasepool::Fd write_end(ends[1]);
    co_await lease.run(write_text, std::move(write_end), "written by a worker process\n");
    std::string text(100, '\0');
    text.resize(static_cast<std::size_t>(::read(read_end.get(), text.data(), text.size())));
    std::cout << text;
  }
  co_await manager.stop();
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
