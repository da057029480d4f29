// Building a frame, and cutting a stream into frames.
#include "wire/frame.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>

using leasepool::detail::begin_frame;
using leasepool::detail::Bytes;
using leasepool::detail::finish_frame;
using leasepool::detail::FrameDecoder;
using leasepool::detail::FrameType;

namespace {

Bytes frame_of(std::size_t payload) {
  Bytes frame = begin_frame();
  frame.resize(frame.size() + payload);
  finish_frame(frame, FrameType::call, 1, 2);
  return frame;
}

void build(benchmark::State& state) {
  for (auto _ : state) {
    Bytes frame = frame_of(static_cast<std::size_t>(state.range(0)));
    benchmark::DoNotOptimize(frame.data());
  }
}

void decode(benchmark::State& state) {
  const Bytes frame = frame_of(static_cast<std::size_t>(state.range(0)));
  FrameDecoder decoder(std::size_t{64} << 20);
  for (auto _ : state) {
    for (std::span<const std::byte> left = frame.view(); !left.empty();) {
      const auto space = decoder.space();
      const std::size_t count = std::min(space.size(), left.size());
      std::memcpy(space.data(), left.data(), count);
      decoder.filled(count);
      left = left.subspan(count);
    }
    auto decoded = decoder.next();
    benchmark::DoNotOptimize(decoded);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(frame.size()));
}

BENCHMARK(build)->Arg(8)->Arg(4096);
BENCHMARK(decode)->Arg(8)->Arg(4096)->Arg(1 << 20);

}  // namespace

BENCHMARK_MAIN();
