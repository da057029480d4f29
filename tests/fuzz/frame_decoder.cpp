// The frame decoder: a stream in pieces, with descriptors beside some of them.
#include "wire/frame.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"

namespace leasepool::fuzz {

namespace frame_decoder_target {
namespace {

using detail::Bytes;

constexpr std::size_t kMaxPayload = 100'000;
constexpr std::size_t kMaxSpace = kMaxPayload + detail::kFrameHeaderSize + (std::size_t{128} << 10);

struct Outcome {
  Bytes frames;  // encoded again
  bool broken = false;
};

// Frames are taken after each piece, whose sizes `piece_size` says; `descriptors` how many come with it.
template <class PieceSize, class Descriptors>
Outcome decode(std::span<const std::byte> stream, PieceSize piece_size, Descriptors descriptors) {
  Outcome outcome;
  detail::FrameDecoder decoder(kMaxPayload);
  try {
    while (!stream.empty()) {
      const std::span<std::byte> space = decoder.space();
      require(!space.empty() && space.size() + decoder.pending() <= kMaxSpace, "the buffer has its bound");
      const std::size_t size = std::min({space.size(), stream.size(), piece_size()});
      std::memcpy(space.data(), stream.data(), size);
      stream = stream.subspan(size);
      auto& beside = decoder.space_for_descriptors();
      for (std::size_t left = descriptors(); left > 0; --left) beside.emplace_back();
      decoder.filled(size);
      decoder.descriptors_came(false);
      while (const auto frame = decoder.next()) {
        require(frame->payload.size() <= kMaxPayload, "a payload has its bound");
        require(frame->descriptors.size() + frame->lost_descriptors <= detail::kMaxDescriptors,
                "a frame has as many descriptors as may be");
        Bytes again = detail::begin_frame();
        again.append(frame->payload);
        detail::finish_frame(again, frame->type, frame->call_id, frame->function_id,
                             frame->descriptors.size() + frame->lost_descriptors);
        outcome.frames.append(again.view());
      }
    }
  } catch (const detail::DecodeError&) {
    outcome.broken = true;
  }
  return outcome;
}

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  const std::span<const std::byte> plan = input.take(8);
  const std::span<const std::byte> stream = input.rest();
  const auto whole = decode(stream, [] { return SIZE_MAX; }, [] { return std::size_t{0}; });
  const std::span<const std::byte> frames = whole.frames.view();
  require(frames.size() <= stream.size() && std::ranges::equal(frames, stream.first(frames.size())),
          "frames are what the stream begins with");
  if (plan.empty()) return;

  std::size_t at = 0;
  const auto next = [&] { return std::to_integer<std::size_t>(plan[at++ % plan.size()]); };
  const auto in_pieces = decode(stream, [&] { return 1 + next() * 16; }, [] { return std::size_t{0}; });
  require(in_pieces.broken == whole.broken && std::ranges::equal(in_pieces.frames.view(), frames),
          "frames do not depend on the pieces in which they come");
  (void)decode(stream, [&] { return 1 + next() * 16; }, [&] { return next() % 4 == 0 ? next() : 0; });
}

std::vector<Bytes> make_seeds() {
  std::vector<Bytes> seeds;
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{200}}) {
    Bytes stream;
    put_number(stream, std::uint64_t{0x0201f00300ff0102});
    for (auto type = detail::FrameType::hello; type <= detail::FrameType::refused_call;
         type = static_cast<detail::FrameType>(std::to_underlying(type) + 1)) {
      Bytes frame = detail::begin_frame();
      for (std::size_t i = 0; i < size; ++i) put_number(frame, static_cast<std::uint8_t>(i));
      detail::finish_frame(frame, type, 7, 9, type == detail::FrameType::value ? 2 : 0);
      stream.append(frame.view());
    }
    seeds.push_back(std::move(stream));
  }
  return seeds;
}

}  // namespace
}  // namespace frame_decoder_target

constinit const Target kFrameDecoder{.name = "frame_decoder",
                                     .max_size = 8192,
                                     .run = frame_decoder_target::run,
                                     .make_seeds = frame_decoder_target::make_seeds};

}  // namespace leasepool::fuzz
