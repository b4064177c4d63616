from chaos_soak.report import Outcome, report, table, verdict_on

OUTCOMES = [
    Outcome('kill', kill=True, survived=True, iterations=2, seconds=4.0),
    Outcome('full', survived=True),
    Outcome('kill', kill=True, survived=True, iterations=8, seconds=6.04),
    Outcome('damage', kill=True, survived=True, iterations=20, seconds=8.0),
    Outcome('kill', kill=True),
]


def test_a_row_for_each_fault_with_median_and_worst(table_cells):
    assert table_cells(table(OUTCOMES))[1:] == [
        ['damage', '1', '1', '20, 20', '8.0, 8.0'],
        ['full', '1', '1', '-', '-'],
        ['kill', '3', '2', '5, 8', '5.0, 6.0'],
        ['all kills', '4', '3', '8, 20', '6.0, 8.0'],
    ]


def test_the_report_tells_what_was_run_and_how_it_ended():
    text = report('tools/chaos.py', OUTCOMES, 1, [10.2, 30.7], 'All is well.')
    assert text.startswith('`python tools/chaos.py`: 5 faults. 4 were kills, 1 of which')
    assert 'undisturbed 10 s, with faults 31 s' in text
    assert table(OUTCOMES) in text and text.endswith('\n\nAll is well.\n')


def test_the_verdict_names_what_differs():
    assert verdict_on([]).endswith('bit by bit: **yes**.')
    text = verdict_on([f'weight{i}' for i in range(9)])
    assert '**no**, 9 differ, such as weight0, weight1,' in text and 'weight5' not in text
