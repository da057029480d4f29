// The command line, by getopt_long(3).
#include "options.hpp"

#include <getopt.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <thread>

namespace {

constexpr const char* kUsage = R"(usage: image_service [OPTION]...
Makes thumbnails of uploaded images (JPEG, PNG, WebP) in sandboxed worker processes. Its page says the rest.

  --host=ADDRESS      listen there (127.0.0.1)
  --port=NUMBER       listen there (8080); 0: the system chooses
  --workers=NUMBER    worker processes (one a processor)
  --clean             a process of its own for each image
  --deadline=MS       for one image (3000)
  --client-time=MS    for a client to send a request, or to take its answer (10000)
  --most-bytes=N      of an upload (8 MiB)
  --most-pixels=N     of an image (25000000)
  --most-waiting=N    uploads that wait for a worker (32)
  --worker-memory=N   bytes of address space of a worker (768 MiB); 0: no limit
  --allow-crash       POST /crash crashes a worker
  --help              this text
)";

[[noreturn]] void refuse(const std::string& why) {
  std::cerr << "image_service: " << why << "; --help says what there is\n";
  std::exit(2);
}

std::uint64_t number(std::string_view name, const char* text, std::uint64_t least, std::uint64_t most) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0' || *text == '-' || value < least || value > most) {
    refuse("--" + std::string(name) + " takes a number from " + std::to_string(least) + " to " + std::to_string(most) +
           ", not '" + text + "'");
  }
  return value;
}

constexpr option with_value(const char* name, int letter) {
  return {.name = name, .has_arg = required_argument, .flag = nullptr, .val = letter};
}
constexpr option alone(const char* name, int letter) {
  return {.name = name, .has_arg = no_argument, .flag = nullptr, .val = letter};
}

}  // namespace

Options parse_options(int argc, char** argv) {
  static constexpr std::array kOptions{with_value("host", 'h'),
                                       with_value("port", 'p'),
                                       with_value("workers", 'w'),
                                       with_value("deadline", 'd'),
                                       with_value("client-time", 't'),
                                       with_value("most-bytes", 'b'),
                                       with_value("most-pixels", 'x'),
                                       with_value("most-waiting", 'q'),
                                       with_value("worker-memory", 'm'),
                                       alone("clean", 'c'),
                                       alone("allow-crash", 'a'),
                                       alone("help", 'H'),
                                       option{}};
  constexpr std::uint64_t kHour = 3'600'000;
  Options options;
  options.workers = std::max(1U, std::thread::hardware_concurrency());
  opterr = 0;
  int index = 0;
  for (int found = 0; (found = ::getopt_long(argc, argv, "", kOptions.data(), &index)) != -1;) {
    const auto value = [&](std::uint64_t least, std::uint64_t most) {
      return number(kOptions.at(static_cast<std::size_t>(index)).name, optarg, least, most);
    };
    switch (found) {
      case 'h': options.host = optarg; break;
      case 'p': options.port = static_cast<int>(value(0, 65535)); break;
      case 'w': options.workers = value(1, 1024); break;
      case 'c': options.clean = true; break;
      case 'd': options.deadline = std::chrono::milliseconds(value(1, kHour)); break;
      case 't': options.client_time = std::chrono::milliseconds(value(1, kHour)); break;
      case 'b': options.most_bytes = value(1, std::uint64_t{1} << 30); break;
      case 'x': options.most_pixels = value(1, std::uint64_t{1} << 30); break;
      case 'q': options.most_waiting = value(1, 100'000); break;
      case 'm': options.worker_memory = value(0, std::uint64_t{1} << 40); break;
      case 'a': options.allow_crash = true; break;
      case 'H': std::cout << kUsage; std::exit(0);
      default: refuse(std::string("cannot use '") + argv[optind - 1] + "'");
    }
  }
  if (optind < argc) refuse("cannot use '" + std::string(argv[optind]) + "'");
  return options;
}
