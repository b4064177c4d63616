from common.markdown_table import markdown_table


def test_columns_are_aligned_text_left_and_numbers_right():
    rows = [['a', 'two words', '1'], ['long name', 'b', '22.5']]
    header, rule, *lines = markdown_table(['', 'what', 'ms'], rows, texts=2).splitlines()
    assert header.split('|')[1:-1] == ['           ', ' what      ', '   ms ']
    assert [cell.strip('- ') for cell in rule.split('|')[1:-1]] == [':', ':', ':']
    assert [cell.rstrip().endswith(':') for cell in rule.split('|')[1:-1]] == [False, False, True]
    assert lines == ['| a         | two words |    1 |', '| long name | b         | 22.5 |']
