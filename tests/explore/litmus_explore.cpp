// The explorer's memory is that of C++: what the classic programs may give, and what they may not.
#include "../support/explorer.hpp"

#include <array>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace posthaste::testing::explore;

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;
constexpr auto seq_cst = std::memory_order_seq_cst;

struct memory {
    atomic<int> x{0}, y{0}, z{0};
    std::array<int, 4> r{};
};
using body = void (*)(memory&);

struct program {
    const char* name;
    std::vector<body> threads;
    int results;  // how many of r count; -1: the last values of x and y
    std::set<std::string> all;  // what it gives, exactly
};

int bad = 0;

void check(reports& sum, const program& p) {
    std::set<std::string> seen;
    sum.add(p.name, [&] {
        auto m = world::fresh<memory>();
        world::name(m->x, "x");
        world::name(m->y, "y");
        world::name(m->z, "z");
        world::script script;
        for (const body b : p.threads) script.threads.push_back([m, b] { b(*m); });
        script.at_end = [&seen, &p, m] {
            std::string got;
            if (p.results < 0) {
                got = std::to_string(m->x.load(relaxed)) + std::to_string(m->y.load(relaxed));
            }
            for (int i = 0; i < p.results; ++i)
                got += std::to_string(m->r[static_cast<std::size_t>(i)]);
            seen.insert(got);
        };
        return script;
    });
    if (seen == p.all) return;
    ++bad;
    std::printf("  it must give");
    for (const auto& s : p.all) std::printf(" %s", s.c_str());
    std::printf(", but gives");
    for (const auto& s : seen) std::printf(" %s", s.c_str());
    std::puts("");
}

template <std::memory_order Store, std::memory_order Load>
program store_buffering(const char* name, std::set<std::string> all) {
    return {name,
            {[](memory& m) {
                 m.x.store(1, Store);
                 m.r[0] = m.y.load(Load);
             },
             [](memory& m) {
                 m.y.store(1, Store);
                 m.r[1] = m.x.load(Load);
             }},
            2,
            std::move(all)};
}

using fence = void (asymmetric_fence::*)() const noexcept;
constexpr fence light = &asymmetric_fence::light, heavy = &asymmetric_fence::heavy;
template <fence First, fence Second>
program store_buffering_fenced(const char* name, std::set<std::string> all) {
    return {name,
            {[](memory& m) {
                 m.x.store(1, relaxed);
                 (asymmetric_fence().*First)();
                 m.r[0] = m.y.load(relaxed);
             },
             [](memory& m) {
                 m.y.store(1, relaxed);
                 (asymmetric_fence().*Second)();
                 m.r[1] = m.x.load(relaxed);
             }},
            2,
            std::move(all)};
}

template <std::memory_order Store, std::memory_order Load>
program message_passing(const char* name, std::set<std::string> all) {
    return {name,
            {[](memory& m) {
                 m.x.store(1, relaxed);
                 m.y.store(1, Store);
             },
             [](memory& m) {
                 m.r[0] = m.y.load(Load);
                 m.r[1] = m.x.load(relaxed);
             }},
            2,
            std::move(all)};
}

template <std::memory_order Store, std::memory_order Load>
program independent_reads(const char* name, std::set<std::string> all) {
    return {name,
            {[](memory& m) { m.x.store(1, Store); }, [](memory& m) { m.y.store(1, Store); },
             [](memory& m) {
                 m.r[0] = m.x.load(Load);
                 m.r[1] = m.y.load(Load);
             },
             [](memory& m) {
                 m.r[2] = m.y.load(Load);
                 m.r[3] = m.x.load(Load);
             }},
            4,
            std::move(all)};
}

template <std::memory_order Order>
program two_plus_two_writes(const char* name, std::set<std::string> all) {
    return {name,
            {[](memory& m) {
                 m.x.store(1, Order);
                 m.y.store(2, Order);
             },
             [](memory& m) {
                 m.y.store(1, Order);
                 m.x.store(2, Order);
             }},
            -1,
            std::move(all)};
}

std::set<std::string> all_but(std::size_t bits, const std::string& one) {
    std::set<std::string> all;
    for (std::size_t n = 0; n != std::size_t{1} << bits; ++n) {
        std::string s;
        for (std::size_t b = bits; b-- != 0;) s += n >> b & 1 ? '1' : '0';
        if (s != one) all.insert(s);
    }
    return all;
}

}  // namespace

int main() {
    reports r;
    check(r, store_buffering<relaxed, relaxed>("SB relaxed", all_but(2, "")));
    check(r, store_buffering<release, acquire>("SB release, acquire", all_but(2, "")));
    check(r, store_buffering<seq_cst, acquire>("SB seq_cst, acquire", all_but(2, "")));
    check(r, store_buffering<seq_cst, seq_cst>("SB seq_cst", all_but(2, "00")));

    check(r, store_buffering_fenced<light, light>("SB, two light fences", all_but(2, "")));
    check(r, store_buffering_fenced<light, heavy>("SB, one of two is heavy", all_but(2, "00")));
    check(r, store_buffering_fenced<heavy, heavy>("SB, two heavy fences", all_but(2, "00")));

    check(r, message_passing<relaxed, acquire>("MP relaxed, acquire", all_but(2, "")));
    check(r, message_passing<release, relaxed>("MP release, relaxed", all_but(2, "")));
    check(r, message_passing<release, acquire>("MP release, acquire", all_but(2, "10")));

    check(r, independent_reads<release, acquire>("IRIW release, acquire", all_but(4, "")));
    check(r, independent_reads<seq_cst, seq_cst>("IRIW seq_cst", all_but(4, "1010")));

    check(r, two_plus_two_writes<release>("2+2W release", {"11", "12", "21", "22"}));
    check(r, two_plus_two_writes<seq_cst>("2+2W seq_cst", {"12", "21", "22"}));

    // No load-buffering: the one thing C++ allows that is not tried.
    check(r, {"LB relaxed",
              {[](memory& m) {
                   m.r[0] = m.x.load(relaxed);
                   m.y.store(1, relaxed);
               },
               [](memory& m) {
                   m.r[1] = m.y.load(relaxed);
                   m.x.store(1, relaxed);
               }},
              2,
              all_but(2, "11")});
    check(r, {"CoRR: two reads of one atomic",
              {[](memory& m) { m.x.store(1, relaxed); }, [](memory& m) { m.x.store(2, relaxed); },
               [](memory& m) {
                   m.r[0] = m.x.load(relaxed);
                   m.r[1] = m.x.load(relaxed);
               },
               [](memory& m) {
                   m.r[2] = m.x.load(relaxed);
                   m.r[3] = m.x.load(relaxed);
               }},
              4,
              [] {  // both readers see the two stores in one order
                  std::set<std::string> all;
                  for (const char* order : {"012", "021"}) {
                      for (int n = 0; n != 81; ++n) {
                          const int i = n % 3, j = n / 3 % 3, k = n / 9 % 3, l = n / 27;
                          if (i <= j && k <= l)
                              all.insert({order[i], order[j], order[k], order[l]});
                      }
                  }
                  return all;
              }()});
    check(r, {"WRC: what one learned, another learns",
              {[](memory& m) { m.x.store(1, relaxed); },
               [](memory& m) {
                   m.r[0] = m.x.load(relaxed);
                   m.y.store(1, release);
               },
               [](memory& m) {
                   m.r[1] = m.y.load(acquire);
                   m.r[2] = m.x.load(relaxed);
               }},
              3,
              all_but(3, "110")});
    check(r, {"release sequence: by a read-modify-write",
              {[](memory& m) {
                   m.x.store(1, relaxed);
                   m.y.store(1, release);
               },
               [](memory& m) { m.y.fetch_add(1, relaxed); },
               [](memory& m) {
                   m.r[0] = m.y.load(acquire);
                   m.r[1] = m.x.load(relaxed);
               }},
              2,
              {"00", "01", "10", "11", "21"}});  // "10": from the other alone; never "20"
    check(r, {"no release sequence: by a store",
              {[](memory& m) {
                   m.x.store(1, relaxed);
                   m.y.store(1, release);
                   m.y.store(2, relaxed);
               },
               [](memory& m) {
                   m.r[0] = m.y.load(acquire);
                   m.r[1] = m.x.load(relaxed);
               }},
              2,
              {"00", "01", "11", "20", "21"}});
    check(r, {"read-modify-writes: none is lost",
              {[](memory& m) { m.r[0] = m.x.fetch_add(1, relaxed); },
               [](memory& m) { m.r[1] = m.x.fetch_add(1, relaxed); }},
              2,
              {"01", "10"}});
    check(r, {"SB with read-modify-writes acq_rel",
              {[](memory& m) {
                   m.x.exchange(1, acq_rel);
                   m.r[0] = m.y.load(acquire);
               },
               [](memory& m) {
                   m.y.exchange(1, acq_rel);
                   m.r[1] = m.x.load(acquire);
               }},
              2,
              all_but(2, "")});
    check(r, {"seq_cst orders nothing but the seq_cst",  // R: x86 would not give "0"
              {[](memory& m) {
                   m.x.store(1, relaxed);
                   m.y.store(1, seq_cst);
               },
               [](memory& m) {
                   m.z.store(m.y.exchange(2, seq_cst) == 1 ? 1 : 0, relaxed);
                   m.r[0] = m.z.load(relaxed) != 0 && m.x.load(relaxed) == 0;
               }},
              1,
              {"0"}});  // but who reads from a seq_cst store acquires
    check(r, {"a failed compare-exchange may see an old value",
              {[](memory& m) {
                   m.x.store(1, relaxed);
                   m.y.store(1, release);
               },
               [](memory& m) {
                   m.r[0] = m.x.load(relaxed);
                   int seen = 7;
                   m.r[0] = m.x.compare_exchange_strong(seen, 8, acq_rel, relaxed);
                   m.r[1] = seen;
                   m.r[2] = m.x.load(relaxed);
               }},
              3,
              {"000", "001", "011"}});
    return r.end() + bad == 0 ? 0 : 1;
}
