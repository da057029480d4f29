// ncurses: the tables of the managers and grinders, and below them one of the others, which keys choose, sort and
// filter.
#include "screen.hpp"

#define NCURSES_NOMACROS  // erase, move, timeout: names of ours, too
#include <curses.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <string_view>

#include "tables.hpp"

namespace lptop {

namespace {

volatile std::sig_atomic_t asked_to_end = 0;

constexpr short kHeadPair = 1;
constexpr short kBadPair = 2;
constexpr const char* kHelp[] = {
    "lptop shows what the loops, managers, leases and workers of a program do.",
    "",
    "  1 to 5, Tab     leases, calls, workers, waiting acquires, nodes",
    "  < >             sort by the column to the left or to the right",
    "  P M T           workers by processor time or memory; by how long they run",
    "  R               the other way round",
    "  /               show only rows with a text; Escape: all of them",
    "  arrows, PgUp, PgDn, Home, End   move",
    "  d s             another interval, in seconds",
    "  Space           read now",
    "  p               stand still, and go on",
    "  h ?             this help",
    "  q, Ctrl-C       end",
    "",
    "p50 and p99 are of what ended since the reading before, interpolated within a factor of two.",
    "LEASED, POOLS, MAX: pools that are lent, there, and allowed. FAILED, CRASHED, KILLED: since the start.",
};

// The terminal as it was before comes back with its end, whatever ends it.
class Terminal {
 public:
  Terminal() {
    std::setlocale(LC_ALL, "");
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0 || ::newterm(nullptr, stdout, stdin) == nullptr) {
      throw std::runtime_error("lptop needs a terminal that TERM names; without one it prints tables: lptop --once");
    }
    ::cbreak();
    ::noecho();
    ::nonl();
    ::keypad(stdscr, true);
    ::curs_set(0);
    ::set_escdelay(25);
    if (::has_colors()) {
      ::start_color();
      ::use_default_colors();
      ::init_pair(kHeadPair, COLOR_CYAN, -1);
      ::init_pair(kBadPair, COLOR_RED, -1);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { ::endwin(); }
};

class Screen {
 public:
  Screen(const Read& read, std::chrono::milliseconds interval) : read_(read), interval_(interval) {}
  std::string run();

 private:
  using Clock = std::chrono::steady_clock;

  void refresh();
  void draw();
  int draw_table(const Table& table, int row, int rows);
  static int print_row(const Table& table, const std::vector<std::string>& lines, std::size_t index, int row);
  static int print(int row, std::string_view text, attr_t attributes = A_NORMAL, short colors = 0);
  void handle(int key);
  void choose(std::size_t detail);
  void sort_by(std::string_view column);
  std::string ask(std::string_view question, std::string text);
  [[nodiscard]] const Table& shown() const { return tables_.details[detail_]; }

  const Read& read_;
  std::chrono::milliseconds interval_;
  Terminal terminal_;
  Processes processes_;
  std::vector<nlohmann::json> before_;
  Tables tables_;
  std::size_t detail_ = 0;
  // Of each of them; the column that it is sorted by at first says most.
  std::vector<std::size_t> sorted_by_ = {3, 1, 6, 2, 2};
  bool reversed_ = false;
  std::string filter_;
  int first_ = 0;  // row that is shown
  int page_ = 1;
  bool stands_ = false;
  bool helps_ = false;
  bool ends_ = false;
};

std::string Screen::run() {
  auto next = Clock::now();
  for (;;) {
    if (!stands_ && Clock::now() >= next) {
      refresh();
      if (before_.empty()) return "the program has ended, or shows nothing any more";
      next = Clock::now() + interval_;
    }
    draw();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now());
    ::timeout(stands_ ? 1000 : static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count() + 1, 1, 1000)));
    const int key = ::getch();
    if (asked_to_end != 0 || ends_) return "";
    if (key == ' ') next = Clock::now();
    handle(key);
    if (ends_) return "";
  }
}

void Screen::refresh() {
  auto now = read_();
  tables_ = make_tables(now, before_, processes_);
  before_ = std::move(now);
}

int Screen::print(int row, std::string_view text, attr_t attributes, short colors) {
  if (row >= LINES) return row;
  const std::string_view fits = first_columns(text, static_cast<std::size_t>(std::max(COLS, 0)));
  ::attr_set(attributes, ::has_colors() ? colors : 0, nullptr);
  ::mvaddnstr(row, 0, fits.data(), static_cast<int>(fits.size()));
  if ((attributes & A_REVERSE) != 0) ::hline(' ' | attributes, COLS);
  ::attr_set(A_NORMAL, 0, nullptr);
  return row + 1;
}

int Screen::draw_table(const Table& table, int row, int rows) {
  const auto lines = table.lines();
  row = print(row, lines[0], A_BOLD, kHeadPair);
  const int shown = std::min(rows, static_cast<int>(table.rows.size()));
  for (int i = 0; i < shown; ++i) row = print_row(table, lines, static_cast<std::size_t>(i), row);
  return row;
}

// What is bad stands out.
int Screen::print_row(const Table& table, const std::vector<std::string>& lines, std::size_t index, int row) {
  const int next = print(row, lines[index + 1]);
  if (!::has_colors() || next == row) return next;
  const auto places = table.places();
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!table.rows[index][i].is_bad) continue;
    ::mvchgat(row, static_cast<int>(places[i].begin), static_cast<int>(places[i].width), A_BOLD, kBadPair, nullptr);
  }
  return next;
}

void Screen::draw() {
  ::erase();
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  int row = print(0,
                  fmt::format("lptop  {}  {:02}:{:02}:{:02}{}", tables_.programs, local.tm_hour, local.tm_min,
                              local.tm_sec, stands_ ? "  (stands still: p goes on)" : ""),
                  A_BOLD);
  if (helps_) {
    ++row;
    for (const char* const line : kHelp) row = print(row, line);
    ::refresh();
    return;
  }
  constexpr int kMostSummary = 8;
  row = draw_table(tables_.managers, row, kMostSummary);
  if (!tables_.grinders.rows.empty()) row = draw_table(tables_.grinders, row + 1, kMostSummary);
  ++row;
  std::string tabs;
  for (std::size_t i = 0; i < tables_.details.size(); ++i) {
    const Table& table = tables_.details[i];
    const std::string tab = fmt::format("{} {} {}", i + 1, table.title, table.rows.size());
    tabs += i == detail_ ? " [" + tab + "]" : "  " + tab + " ";
  }
  if (!filter_.empty()) tabs += "   with \"" + filter_ + "\"";
  row = print(row, tabs, A_REVERSE);
  Table table = shown();
  if (!filter_.empty()) table.keep(filter_);
  table.sort_by(sorted_by_[detail_], reversed_);
  table.columns[sorted_by_[detail_]].name += reversed_ ? "^" : "v";
  page_ = std::max(LINES - row - 2, 1);
  const int rows = static_cast<int>(table.rows.size());
  first_ = std::clamp(first_, 0, std::max(rows - page_, 0));
  const auto lines = table.lines();
  row = print(row, lines[0], A_BOLD, kHeadPair);
  for (int i = first_; i < std::min(rows, first_ + page_); ++i)
    row = print_row(table, lines, static_cast<std::size_t>(i), row);
  print(LINES - 1, " q end  h help  Tab next  < > sort  R reverse  / filter  d interval  p stand still", A_REVERSE);
  ::refresh();
}

void Screen::choose(std::size_t detail) {
  if (detail >= tables_.details.size()) return;
  detail_ = detail;
  first_ = 0;
}

void Screen::sort_by(std::string_view column) {
  const auto& columns = shown().columns;
  const auto found = std::ranges::find(columns, column, &Column::name);
  if (found != columns.end()) sorted_by_[detail_] = static_cast<std::size_t>(found - columns.begin());
}

// On the last line; what is typed before Escape is as it was.
std::string Screen::ask(std::string_view question, std::string text) {
  const std::string before = text;
  ::timeout(-1);
  for (;;) {
    ::move(LINES - 1, 0);
    ::clrtoeol();
    print(LINES - 1, fmt::format("{}: {}", question, text));
    const int key = ::getch();
    constexpr int kEscape = 27;
    constexpr int kDelete = 127;
    if (asked_to_end != 0 || key == kEscape) return before;
    if (key == '\r' || key == '\n' || key == KEY_ENTER) return text;
    if ((key == KEY_BACKSPACE || key == kDelete || key == '\b') && !text.empty()) text.pop_back();
    if (key >= 0x20 && key < kDelete) text += static_cast<char>(key);
  }
}

void Screen::handle(int key) {
  if (key == ERR) return;
  if (helps_) {
    helps_ = false;
    return;
  }
  std::size_t& column = sorted_by_[detail_];
  constexpr int kEscape = 27;
  switch (key) {
    case 'q': ends_ = true; break;
    case 'h':
    case '?':
    case KEY_F(1): helps_ = true; break;
    case '\t': choose((detail_ + 1) % tables_.details.size()); break;
    case KEY_BTAB: choose((detail_ + tables_.details.size() - 1) % tables_.details.size()); break;
    case '<': column = (column + shown().columns.size() - 1) % shown().columns.size(); break;
    case '>': column = (column + 1) % shown().columns.size(); break;
    case 'R':
    case 'I': reversed_ = !reversed_; break;
    case 'P': choose(2), sort_by("CPU%"); break;
    case 'M': choose(2), sort_by("MEMORY"); break;
    case 'T': sort_by(detail_ == 0 ? "LONGEST" : "FOR"); break;
    case '/':
    case KEY_F(4): filter_ = ask("only rows with", filter_); break;
    case kEscape: filter_.clear(); break;
    case 'p': stands_ = !stands_; break;
    case 'd':
    case 's': {
      const std::string text =
          ask("seconds between two readings", fmt::format("{}", static_cast<double>(interval_.count()) / 1000));
      const double seconds = std::strtod(text.c_str(), nullptr);
      if (seconds >= 0.3 && seconds <= 3600) interval_ = std::chrono::milliseconds(static_cast<long>(seconds * 1000));
      break;
    }
    case '\f': ::redrawwin(stdscr); break;  // Ctrl-L
    case KEY_UP: --first_; break;
    case KEY_DOWN: ++first_; break;
    case KEY_PPAGE: first_ -= page_; break;
    case KEY_NPAGE: first_ += page_; break;
    case KEY_HOME: first_ = 0; break;
    case KEY_END: first_ = static_cast<int>(shown().rows.size()); break;
    default:
      if (key >= '1' && key <= '9') choose(static_cast<std::size_t>(key - '1'));
      break;
  }
}

}  // namespace

std::string run_screen(const Read& read, std::chrono::milliseconds interval) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction ends{};
    ends.sa_handler = [](int /*signal*/) { asked_to_end = 1; };
    ::sigaction(signal, &ends, nullptr);
  }
  return Screen(read, interval).run();
}

}  // namespace lptop
