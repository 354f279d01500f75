// How far a call is on its way through its client's layers.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/wait/frame.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

namespace posthaste::detail {

/// What a call knows on its way through its client's layers, and what each of those it is in keeps
/// for it. A call that is answered at once goes in and comes out with this on the stack; one that
/// stands still, or goes again, or whose caller may be taken elsewhere meanwhile, takes it along.
struct crossing {
    crossing(const frame& caller, const call_settings& by, bool idempotent) noexcept
        : at_hand(*caller.at, caller.under, by.deadline, idempotent) {}
    /// From then on the other one is nothing any more.
    crossing(crossing&& from) noexcept : at_hand(std::move(from.at_hand)), inside(from.inside) {
        std::uninitialized_copy_n(from.stages.begin(), inside, stages.begin());
    }

    /// Inwards as the call begins, up to the first layer that does not let it pass; if that says
    /// `later`, it is in there.
    verdict set_out(const call_settings& by) noexcept {
        if (!by.express) return pass(by);
        const verdict v = by.express->in(by, at_hand, stages.data(), inside);
        inside += v.what == verdict::kind::later;
        return v;
    }
    /// Inwards from where it is.
    verdict pass(const call_settings& by) noexcept {
        passage& p = at_hand;
        const std::size_t count = by.layers.size();
        std::size_t i = inside;
        const std::shared_ptr<layer>* l = by.layers.data() + i;
        verdict v;
        for (stage* s = stages.data() + i; i != count; ++i, ++l, ++s) {
            s->until = p.allowance == forever ? forever : p.allowance + p.passed_;
            s->extra = p.extra;
            std::construct_at(&s->slot);
            v = on_the_way_in((*l)->enter(p, s->slot));
            if (v.what != verdict::kind::pass) break;
        }
        inside = i + (v.what == verdict::kind::later);
        return v;
    }

    /// Outwards through all, with a value.
    void come_all_out(const call_settings& by) noexcept {
        if (!by.express) return come_out(by);
        by.express->out(by, at_hand, stages.data());
        inside = 0;
    }
    /// The same from where it is.
    void come_out(const call_settings& by) noexcept {
        const std::shared_ptr<layer>* l = by.layers.data() + inside;
        for (stage* s = stages.data() + inside; s != stages.data();) {
            --s, --l;
            if ((*l)->hears() == layer::outcomes::failures) continue;
            restore(*s);
            (*l)->leave(at_hand, s->slot, nullptr);
        }
        inside = 0;
    }
    /// What is inside may take again what it might as the call went in there.
    void restore(const stage& s) noexcept {
        at_hand.allowance = s.until == forever ? forever : s.until - at_hand.passed_;
        at_hand.extra = s.extra;
    }
    /// It goes no further: gives back what the layers hold.
    void abandon(const call_settings& by) noexcept {
        for (; inside != 0; --inside) by.layers[inside - 1]->abandon(stages[inside - 1].slot);
    }

    passage at_hand;
    std::size_t inside = 0;  // so many layers it has to come out of
    union {  // none is made before it is used
        std::array<stage, max_layers> stages;
    };
};

}  // namespace posthaste::detail
