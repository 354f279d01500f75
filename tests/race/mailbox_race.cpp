// Several senders, a reader that goes idle and is claimed again, and a shut in the middle: every
// letter that was accepted is read once, in its sender's order, by one reader at a time.
#include "../support/race.hpp"

#include <posthaste/carry/mailbox.hpp>

#include <array>
#include <atomic>
#include <memory>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
using stumbling_mailbox = basic_mailbox<stumbling_atomics>;
constexpr unsigned senders = 3, each = 40;
struct numbered : letter {
    unsigned sender = 0, number = 0;  // plain: put() must publish them
    int read = 0;
};
}  // namespace

int main() {
    outcome queued("queued behind a reader"), claimed("claimed by a letter"),
        refused("refused, since it was shut"), claimed_alone("claimed without a letter"),
        not_claimed("not idle, so not claimed"), read_on("more came while the reader was leaving"),
        read_after_shut("read after it was shut");
    mistakes wrong;

    // All plain: guarded by the claim, whoever holds it.
    struct reader_state {
        std::array<unsigned, senders> next{};
        unsigned taken = 0;
        int readers = 0;
    } state;
    std::unique_ptr<stumbling_mailbox> box;
    std::array<std::array<numbered, each>, senders> letters;
    std::array<unsigned, senders> accepted{};
    std::atomic<bool> shut = false;  // relaxed: only to be counted

    const auto read = [&] {
        do {
            wrong.expect(++state.readers == 1, "two readers at a time");
            while (letter* l = box->take()) {
                auto& n = static_cast<numbered&>(*l);
                wrong.expect(n.read++ == 0, "a letter was read twice");
                wrong.expect(state.next[n.sender] == n.number, "out of order, or lost");
                state.next[n.sender] = n.number + 1;
                stumble(scatter(++state.taken, 5));
                if (shut.load(std::memory_order_relaxed)) read_after_shut.seen();
            }
            --state.readers;
            stumble(scatter(state.taken, 6));
        } while (!box->release() && (read_on.seen(), true));
    };
    const auto send = [&](unsigned sender, unsigned round) {
        for (unsigned i = 0; i != each; ++i) {
            numbered& n = letters[sender][i];
            n.sender = sender;
            n.number = i;
            n.read = 0;
            stumble(scatter(round * each + i, sender));
            switch (box->put(n)) {
                case stumbling_mailbox::put_result::queued: queued.seen(); break;
                case stumbling_mailbox::put_result::claimed:
                    claimed.seen();
                    read();
                    break;
                case stumbling_mailbox::put_result::refused: refused.seen(); return;
            }
            ++accepted[sender];
        }
    };

    race(
        300, 40'000,
        [&](unsigned) {
            box = std::make_unique<stumbling_mailbox>();
            state = reader_state();
            accepted = {};
            shut.store(false, std::memory_order_relaxed);
        },
        [&](unsigned) {
            wrong.expect(box->idle(), "all have gone, but it is not idle");
            unsigned sum = 0;
            for (unsigned s = 0; s != senders; ++s) {
                sum += accepted[s];
                wrong.expect(state.next[s] == accepted[s], "what was accepted was not read");
            }
            wrong.expect(state.taken == sum, "accepted and read are not the same number");
            return all_seen(queued, claimed, refused, claimed_alone, not_claimed, read_on,
                            read_after_shut);
        },
        [&](unsigned round) { send(0, round); }, [&](unsigned round) { send(1, round); },
        [&](unsigned round) { send(2, round); },
        [&](unsigned round) {
            for (unsigned i = 0; i != 20; ++i) {
                stumble(scatter(round, 100 + i));
                if (box->claim()) {
                    claimed_alone.seen();
                    read();
                } else {
                    not_claimed.seen();
                }
            }
            if (round % 4 == 0) return;  // and sometimes nobody shuts it
            shut.store(true, std::memory_order_relaxed);
            box->shut();
        });
    return summary(wrong, queued, claimed, refused, claimed_alone, not_claimed, read_on,
                   read_after_shut);
}
