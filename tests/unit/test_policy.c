/* Facts in, decision out. */
#include <criterion/criterion.h>

#include "offload/base/config.h"
#include "policy/policy.h"

static struct cdm_call_facts facts(double flops)
{
	return (struct cdm_call_facts){
		.flops = flops,
		.min_work = 1000,
		.capacity = 1 << 30,
		.coherent = true,
		.operands = 3,
		.op = {{.bytes = 100, .movable = true, .reads = true},
		       {.bytes = 100, .movable = false, .reads = true},
		       {.bytes = 100, .movable = true, .reads = true, .writes = true}},
	};
}

Test(policy, by_number)
{
	cr_assert_eq(cdm_policy_get(CDM_POLICY_NEVER), &cdm_policy_never);
	cr_assert_eq(cdm_policy_get(CDM_POLICY_COPY), &cdm_policy_copy);
	cr_assert_eq(cdm_policy_get(CDM_POLICY_FIRST_USE), &cdm_policy_first_use);
	cr_assert_eq(cdm_policy_get(CDM_POLICY_IN_PLACE), &cdm_policy_in_place);
	cr_assert_eq(cdm_policy_get(CDM_POLICY_ADAPTIVE), &cdm_policy_adaptive);
	cr_assert_eq(cdm_policy_get(-1), &cdm_policy_never);
	cr_assert_eq(cdm_policy_get(99), &cdm_policy_never);
	cr_assert_str_eq(cdm_policy_get(CDM_POLICY_FIRST_USE)->name, "first-use");
}

Test(policy, never)
{
	struct cdm_call_facts f = facts(1e12);
	cr_assert_eq(cdm_policy_never.decide(&f).call, CDM_PLACE_HOST);
}

Test(policy, copy_stages_every_operand)
{
	struct cdm_call_facts f = facts(1e12);
	struct cdm_decision d = cdm_policy_copy.decide(&f);
	cr_assert_neq(d.call, CDM_PLACE_HOST);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(d.op[i], CDM_PLACE_COPY);
}

Test(policy, first_use_moves_what_can_move)
{
	struct cdm_call_facts f = facts(1e12);
	struct cdm_decision d = cdm_policy_first_use.decide(&f);
	cr_assert_neq(d.call, CDM_PLACE_HOST);
	cr_assert_eq(d.op[0], CDM_PLACE_MOVE);
	cr_assert_eq(d.op[1], CDM_PLACE_IN_PLACE);
	cr_assert_eq(d.op[2], CDM_PLACE_MOVE);
	f.coherent = false;
	cr_assert_eq(cdm_policy_first_use.decide(&f).op[1], CDM_PLACE_COPY);
}

Test(policy, threshold)
{
	const struct cdm_policy *all_of_them[] = {&cdm_policy_copy, &cdm_policy_first_use, &cdm_policy_adaptive};
	for (int i = 0; i < 3; i++) {
		struct cdm_call_facts below = facts(999.9), at = facts(1000), all = facts(0);
		all.min_work = 0;
		cr_assert_eq(all_of_them[i]->decide(&below).call, CDM_PLACE_HOST);
		cr_assert_neq(all_of_them[i]->decide(&at).call, CDM_PLACE_HOST);
		cr_assert_neq(all_of_them[i]->decide(&all).call, CDM_PLACE_HOST);
		at.min_work = __builtin_inf();
		cr_assert_eq(all_of_them[i]->decide(&at).call, CDM_PLACE_HOST);
	}
}

Test(policy, coldest)
{
	struct cdm_candidate used[] = {{100, 9, 0}, {100, 1, 0}, {100, 5, 0}};
	cr_assert_eq(cdm_policy_coldest(used, 3), 1);
	struct cdm_candidate old[] = {{100, 5, 1}, {100, 5, 2}, {100, 5, 50}};
	cr_assert_eq(cdm_policy_coldest(old, 3), 2);
	struct cdm_candidate large[] = {{100, 5, 1}, {100000, 5, 1}, {1000, 5, 1}};
	cr_assert_eq(cdm_policy_coldest(large, 3), 1);
	struct cdm_candidate empty[] = {{0, 0, 1000000}, {4096, 1000000, 0}};
	cr_assert_eq(cdm_policy_coldest(empty, 2), 1);
	struct cdm_candidate same[] = {{100, 5, 1}, {100, 5, 1}};
	cr_assert_eq(cdm_policy_coldest(same, 2), 0);
	cr_assert_eq(cdm_policy_coldest(empty, 1), 0);
}

Test(policy, in_place_never_moves)
{
	struct cdm_call_facts f = facts(1e12);

	for (int i = 0; i < f.operands; i++)
		cr_assert_eq(cdm_policy_in_place.decide(&f).op[i], CDM_PLACE_IN_PLACE);
	f.coherent = false;
	for (int i = 0; i < f.operands; i++)
		cr_assert_eq(cdm_policy_in_place.decide(&f).op[i], CDM_PLACE_COPY);
	f.flops = 10;
	cr_assert_eq(cdm_policy_in_place.decide(&f).call, CDM_PLACE_HOST);
}

/* A product of matrices of order n after so many others like it. */
static struct cdm_call_facts product(double n, uint64_t before)
{
	struct cdm_call_facts f = {
		.flops = 2 * n * n * n, .min_work = 1000, .capacity = (size_t)1 << 40, .coherent = true, .operands = 3};

	for (int i = 0; i < 3; i++)
		f.op[i] = (struct cdm_operand_facts){.bytes = (size_t)(8 * n * n),
						     .span = (size_t)(8 * n * n),
						     .movable = true,
						     .work = (double)before * f.flops};
	return f;
}

static int moved_by(const struct cdm_call_facts *f)
{
	struct cdm_decision d = cdm_policy_adaptive.decide(f);
	int n = 0;

	cr_assert_neq(d.call, CDM_PLACE_HOST);
	for (int i = 0; i < f->operands; i++) {
		cr_assert(d.op[i] == CDM_PLACE_MOVE || (d.op[i] == CDM_PLACE_IN_PLACE && f->coherent));
		n += d.op[i] == CDM_PLACE_MOVE;
	}
	return n;
}

/* A thousand flops for each byte that moves: three matrices of order n, for a product of theirs 12000 / n times. */
Test(policy, adaptive_moves_what_has_been_paid_for)
{
	struct cdm_call_facts f;

	for (int n = 1000; n <= 12000; n *= 2) {
		uint64_t due = (uint64_t)((12000 + n - 1) / n);
		f = product(n, due - 1);
		cr_assert_eq(moved_by(&f), 3, "%d", n);
		if (due > 1) {
			f = product(n, due - 2);
			cr_assert_eq(moved_by(&f), 0, "%d", n);
		}
	}
	f = product(12000, 0);
	f.capacity = 8ull * 12000 * 12000; /* the room of one: as much as two would have to leave */
	cr_assert_eq(moved_by(&f), 0);
	f = product(1000, 0);
	f.op[0].resident = f.op[0].span;
	cr_assert_eq(moved_by(&f), 1, "what is there stays");
	f.op[1].resident = f.op[1].span;
	f.op[2].resident = f.op[2].span - 4096;
	cr_assert_eq(moved_by(&f), 3, "a page is soon paid for");
	f.op[2].movable = false;
	f.op[1].scratch = true;
	cr_assert_eq(moved_by(&f), 1);
}

/* What the device cannot reach has to go there at once. */
Test(policy, adaptive_is_first_use_on_a_private_device)
{
	struct cdm_call_facts f = product(1000, 0);

	f.coherent = false;
	cr_assert_eq(moved_by(&f), 3);
	f.flops = 10;
	cr_assert_eq(cdm_policy_adaptive.decide(&f).call, CDM_PLACE_HOST);
	f.coherent = true;
	cr_assert_eq(cdm_policy_adaptive.decide(&f).call, CDM_PLACE_HOST);
}

/* A small call runs where its data is, when that is less work than to bring it home. */
Test(policy, small_calls_follow_their_data)
{
	struct cdm_call_facts f = facts(10);

	f.coherent = false;
	cr_assert_eq(cdm_policy_first_use.decide(&f).call, CDM_PLACE_HOST);
	for (int i = 0; i < f.operands; i++)
		f.op[i].resident = f.op[i].away = 100;
	cr_assert_neq(cdm_policy_first_use.decide(&f).call, CDM_PLACE_HOST);
	f.op[0].resident = f.op[0].away = 0;
	f.op[0].bytes = 1000;
	cr_assert_eq(cdm_policy_first_use.decide(&f).call, CDM_PLACE_HOST,
		     "1000 bytes would have to go, 200 come home");
}
