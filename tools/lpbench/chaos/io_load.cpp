// What the two ends of each connection do.
#include "io_load.hpp"

#include <exception>
#include <utility>

namespace lpbench::chaos {

namespace lp = leasepool;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kClients = 4;
// Both ends stand still when the program does, so this is only against a hang.
constexpr lp::IoOptions kPatience{.timeout = 30s};

}  // namespace

IoLoad::IoLoad(lp::Loop& loop, Account& account, std::uint64_t seed)
    : loop_(loop),
      account_(account),
      random_(seed),
      listener_(loop, lp::Endpoint{.host = "127.0.0.1", .port = 0}),
      // A connection whose asking end was destroyed ends for the other one as it may.
      servers_(loop, {.on_error = [](const std::exception_ptr&) {}}),
      clients_(loop, {.on_error = [this](const std::exception_ptr& error) {
                 try {
                   std::rethrow_exception(error);
                 } catch (const std::exception& thrown) {
                   account_.io_failed(thrown);
                 }
               }}) {}

std::vector<std::byte> IoLoad::random_bytes() {
  std::vector<std::byte> bytes(random(1, random(1, 10) == 1 ? 200'000 : 2'000));
  const std::uint64_t first = random_();
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((first + i * 31) >> (i % 3));
  return bytes;
}

lp::Task<> IoLoad::live() {
  servers_.spawn(accept());
  while (!over_) {
    while (clients_.size() < kClients) clients_.spawn(ask());
    auto pause = loop_.sleep(2ms);
    co_await pause;
  }
  auto asked = clients_.join();
  co_await asked;
  listener_.close();
  servers_.cancel();
  auto served = servers_.join();
  co_await served;
}

lp::Task<> IoLoad::accept() {
  for (;;) {
    auto comes = listener_.accept();
    servers_.spawn(echo(co_await comes));
  }
}

lp::Task<> IoLoad::echo(lp::Stream stream) {
  std::vector<std::byte> buffer(std::size_t{64} << 10U);
  for (;;) {
    auto reads = stream.read(buffer, kPatience);
    const std::size_t count = co_await reads;
    if (count == 0) co_return;
    auto writes = stream.write(std::span<const std::byte>(buffer.data(), count), kPatience);
    co_await writes;
  }
}

lp::Task<> IoLoad::ask() {
  if (random(1, 3) == 1) {
    auto uses = use_file();
    co_await uses;
  } else {
    auto talks = talk();
    co_await talks;
  }
}

lp::Task<> IoLoad::talk() {
  auto connects = lp::connect(loop_, lp::Endpoint{.host = "127.0.0.1", .port = listener_.port()}, kPatience);
  lp::Stream stream = co_await connects;
  for (std::uint64_t left = random(1, 30); left > 0 && !over_; --left) {
    const std::vector<std::byte> sent = random_bytes();
    std::vector<std::byte> received(sent.size());
    auto writes = stream.write(std::span<const std::byte>(sent), kPatience);
    auto reads = stream.read_exactly(received, kPatience);
    auto both = lp::when_all(std::move(writes), std::move(reads));
    (void)co_await both;
    account_.io_succeeded(received == sent);
    auto pause = loop_.sleep(std::chrono::microseconds(random(0, 2'000)));
    co_await pause;
  }
}

lp::Task<> IoLoad::use_file() {
  auto opens = lp::File::temporary(loop_, kPatience);
  lp::File file = co_await opens;
  const std::vector<std::byte> written = random_bytes();
  const std::uint64_t offset = random(0, 10'000);
  auto writes = file.write_at(offset, std::span<const std::byte>(written), kPatience);
  co_await writes;
  std::vector<std::byte> read(written.size());
  auto reads = file.read_at(offset, read, kPatience);
  const std::size_t count = co_await reads;
  account_.io_succeeded(count == written.size() && read == written);
}

std::size_t IoLoad::drop_tasks() {
  const std::size_t tasks = clients_.size();
  clients_.cancel();
  return tasks;
}

}  // namespace lpbench::chaos
