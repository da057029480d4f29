// What a worker process does with an upload: it decodes a JPEG, PNG or WebP, and makes a small PNG of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

constexpr unsigned kThumbnailSide = 256;  // pixels, of the longer side

enum class Verdict : std::uint8_t { ok, unknown_type, broken, too_many_pixels };
enum class ImageType : std::uint8_t { unknown, jpeg, png, webp };

/// "JPEG", "PNG", "WebP"; "image" of what is none of them.
std::string_view name_of(ImageType type) noexcept;

/// A plain struct, so that it crosses from the worker process as it is.
struct Thumbnail {
  Verdict verdict = Verdict::ok;
  std::string problem;  // for people, of all verdicts but ok
  ImageType type = ImageType::unknown;
  std::uint32_t width = 0;  // of the upload, as are type and height
  std::uint32_t height = 0;
  std::string png;
};

/// Looks at the size that the file announces before it decodes anything: a file of some KiB may announce gigabytes.
Thumbnail make_thumbnail(const std::string& upload, std::uint64_t most_pixels);

/// Stands for the hole in a decoder that nobody knows of yet.
void crash_on_purpose();
