// The decoders: libjpeg-turbo, libpng and libwebp, each by its simplest interface. All of this runs in worker
// processes.
#include "codec.hpp"

#include <png.h>
#include <turbojpeg.h>
#include <webp/decode.h>
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <vector>

LEASEPOOL_REGISTER(make_thumbnail);
LEASEPOOL_REGISTER(crash_on_purpose);

namespace {

struct Pixels {
  Pixels(unsigned its_width, unsigned its_height)
      : width(its_width), height(its_height), rgba(std::size_t{4} * its_width * its_height) {}
  unsigned width;
  unsigned height;
  std::vector<unsigned char> rgba;
};

class Refused : public std::runtime_error {
 public:
  Refused(Verdict verdict, const std::string& problem) : std::runtime_error(problem), verdict_(verdict) {}
  [[nodiscard]] Verdict verdict() const noexcept { return verdict_; }

 private:
  Verdict verdict_;
};

class Decoder {
 public:
  Decoder(const std::string& upload, std::uint64_t most_pixels)
      : bytes_(reinterpret_cast<const unsigned char*>(upload.data())), size_(upload.size()), most_(most_pixels) {}

  Pixels decode() {
    const std::string_view start(reinterpret_cast<const char*>(bytes_), std::min<std::size_t>(size_, 16));
    if (start.starts_with("\x89PNG\r\n\x1a\n")) return decode_png();
    if (start.starts_with("\xff\xd8\xff")) return decode_jpeg();
    if (start.starts_with("RIFF") && start.substr(std::min<std::size_t>(8, start.size())).starts_with("WEBP")) {
      return decode_webp();
    }
    throw Refused(Verdict::unknown_type, "This is neither a JPEG, a PNG nor a WebP.");
  }

  [[nodiscard]] ImageType type() const { return type_; }
  [[nodiscard]] unsigned width() const { return width_; }
  [[nodiscard]] unsigned height() const { return height_; }

 private:
  // Before anything is decoded.
  void check_size(ImageType type, unsigned width, unsigned height) {
    type_ = type;
    width_ = width;
    height_ = height;
    if (width == 0 || height == 0) throw Refused(Verdict::broken, "The image has no pixels.");
    if (std::uint64_t{width} * height > most_) {
      throw Refused(Verdict::too_many_pixels, "The image has " + std::to_string(width) + " x " +
                                                  std::to_string(height) + " pixels; at most " + std::to_string(most_) +
                                                  " are allowed.");
    }
  }

  Pixels decode_png() {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    const std::unique_ptr<png_image, decltype(&png_image_free)> freed(&image, png_image_free);
    if (png_image_begin_read_from_memory(&image, bytes_, size_) == 0) throw broken(ImageType::png, image.message);
    check_size(ImageType::png, image.width, image.height);
    image.format = PNG_FORMAT_RGBA;
    Pixels pixels(image.width, image.height);
    if (png_image_finish_read(&image, nullptr, pixels.rgba.data(), 0, nullptr) == 0)
      throw broken(ImageType::png, image.message);
    return pixels;
  }

  Pixels decode_jpeg() {
    const std::unique_ptr<void, decltype(&tjDestroy)> decoder(tjInitDecompress(), tjDestroy);
    if (!decoder) throw std::bad_alloc();
    int width = 0;
    int height = 0;
    int sampling = 0;
    int colours = 0;
    if (tjDecompressHeader3(decoder.get(), bytes_, size_, &width, &height, &sampling, &colours) != 0) {
      throw broken(ImageType::jpeg, tjGetErrorStr2(decoder.get()));
    }
    check_size(ImageType::jpeg, static_cast<unsigned>(width), static_cast<unsigned>(height));
    if (colours == TJCS_CMYK || colours == TJCS_YCCK) throw Refused(Verdict::unknown_type, "This JPEG is in CMYK.");

    // The decoder halves an image at less cost than it decodes all of it.
    tjscalingfactor scale{1, 1};
    while (scale.denom < 8 && std::max(width, height) / scale.denom >= 4 * static_cast<int>(kThumbnailSide)) {
      scale.denom *= 2;
    }
    Pixels pixels(static_cast<unsigned>(TJSCALED(width, scale)), static_cast<unsigned>(TJSCALED(height, scale)));
    // A warning fails it, too: a file that is cut short is one.
    if (tjDecompress2(decoder.get(), bytes_, size_, pixels.rgba.data(), static_cast<int>(pixels.width), 0,
                      static_cast<int>(pixels.height), TJPF_RGBA, TJFLAG_LIMITSCANS) != 0) {
      throw broken(ImageType::jpeg, tjGetErrorStr2(decoder.get()));
    }
    return pixels;
  }

  Pixels decode_webp() {
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(bytes_, size_, &features) != VP8_STATUS_OK) throw broken(ImageType::webp, "the header");
    check_size(ImageType::webp, static_cast<unsigned>(features.width), static_cast<unsigned>(features.height));
    if (features.has_animation != 0) throw Refused(Verdict::unknown_type, "This WebP is an animation.");
    Pixels pixels(static_cast<unsigned>(features.width), static_cast<unsigned>(features.height));
    if (WebPDecodeRGBAInto(bytes_, size_, pixels.rgba.data(), pixels.rgba.size(), 4 * features.width) == nullptr) {
      throw broken(ImageType::webp, "the image data");
    }
    return pixels;
  }

  static Refused broken(ImageType type, const std::string& what) {
    return {Verdict::broken, "This " + std::string(name_of(type)) + " is broken: " + what + '.'};
  }

  const unsigned char* bytes_;
  std::size_t size_;
  std::uint64_t most_;
  ImageType type_ = ImageType::unknown;
  unsigned width_ = 0;
  unsigned height_ = 0;
};

// The mean of the pixels [left, right) x [top, bottom), each as much as it is opaque.
void average(const Pixels& from, unsigned left, unsigned right, unsigned top, unsigned bottom, unsigned char* to) {
  std::uint64_t red = 0;
  std::uint64_t green = 0;
  std::uint64_t blue = 0;
  std::uint64_t alpha = 0;
  for (unsigned y = top; y < bottom; ++y) {
    const unsigned char* pixel = &from.rgba[4 * (std::size_t{y} * from.width + left)];
    for (unsigned x = left; x < right; ++x, pixel += 4) {
      red += pixel[0] * std::uint64_t{pixel[3]};
      green += pixel[1] * std::uint64_t{pixel[3]};
      blue += pixel[2] * std::uint64_t{pixel[3]};
      alpha += pixel[3];
    }
  }
  const std::uint64_t opaque = std::max<std::uint64_t>(alpha, 1);
  to[0] = static_cast<unsigned char>(red / opaque);
  to[1] = static_cast<unsigned char>(green / opaque);
  to[2] = static_cast<unsigned char>(blue / opaque);
  const std::uint64_t area = std::uint64_t{right - left} * (bottom - top);
  to[3] = static_cast<unsigned char>(alpha / std::max<std::uint64_t>(area, 1));
}

Pixels shrink(const Pixels& from) {
  const double scale = std::min(1.0, double{kThumbnailSide} / std::max(from.width, from.height));
  const auto scaled = [&](unsigned side) { return std::max(1U, static_cast<unsigned>(std::lround(side * scale))); };
  Pixels to(scaled(from.width), scaled(from.height));
  const auto edge = [](unsigned index, unsigned all, unsigned of) {
    return static_cast<unsigned>(std::uint64_t{index} * of / all);
  };
  for (unsigned y = 0; y < to.height; ++y) {
    for (unsigned x = 0; x < to.width; ++x) {
      average(from, edge(x, to.width, from.width), edge(x + 1, to.width, from.width), edge(y, to.height, from.height),
              edge(y + 1, to.height, from.height), &to.rgba[4 * (std::size_t{y} * to.width + x)]);
    }
  }
  return to;
}

std::string encode_png(const Pixels& pixels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = pixels.width;
  image.height = pixels.height;
  image.format = PNG_FORMAT_RGBA;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string png(size, '\0');
  if (png_image_write_to_memory(&image, png.data(), &size, 0, pixels.rgba.data(), 0, nullptr) == 0) {
    throw std::runtime_error(image.message);
  }
  png.resize(size);
  return png;
}

}  // namespace

std::string_view name_of(ImageType type) noexcept {
  switch (type) {
    case ImageType::jpeg: return "JPEG";
    case ImageType::png: return "PNG";
    case ImageType::webp: return "WebP";
    case ImageType::unknown: break;
  }
  return "image";
}

Thumbnail make_thumbnail(const std::string& upload, std::uint64_t most_pixels) {
  Thumbnail result;
  Decoder decoder(upload, most_pixels);
  try {
    result.png = encode_png(shrink(decoder.decode()));
  } catch (const Refused& refused) {
    result.verdict = refused.verdict();
    result.problem = refused.what();
  } catch (const std::bad_alloc&) {
    result.verdict = Verdict::too_many_pixels;
    result.problem = "The image takes more memory than one may take.";
  }
  result.type = decoder.type();
  result.width = decoder.width();
  result.height = decoder.height();
  return result;
}

void crash_on_purpose() { std::abort(); }
